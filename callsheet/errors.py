"""The error tree; each message says what failed, the state, and the next step.

CallsheetError
├── UsageError                  exit code 2: the user can mend it before anything is created
│   ├── ManifestError           the manifest has problems (all of them are in `.problems`)
│   ├── SettingsError           a setting, credential or option is missing or wrong
│   │   └── BegunElsewhere      another process began the batch at the same moment, with other default models
│   ├── CatalogueError          a file of models or platforms is wrong, or does not hold what is named
│   ├── DecisionError           a decision about frames names what is not there, or comes too late
│   └── CannotContinue          a batch cannot be asked for again as before: its manifest is gone or another one
├── ProviderError               the provider (or the way to it) did not give the asset
│   ├── NotAccepted             known not to have been accepted: trying again costs nothing
│   │   ├── Unreachable         no connection could be made
│   │   ├── Overloaded          503: the model is overloaded
│   │   ├── RateLimited         429: per minute, per day, or without details
│   │   └── RouteClosed         credits, a spending cap, billing, a limit of 0: stops the route, not the batch
│   ├── Rejected                a definitive 4xx: the same request will fail again
│   │   ├── Unauthorised        bad key, no permission, billing: stops the batch
│   │   │   └── WebPage         a web page instead of JSON (a proxy, a sign-in, a wrong base URL): stops the batch
│   │   ├── ModelNotFound       404 for the model or the project
│   │   └── RequestTooLarge     413, or 400 "payload size exceeds"
│   ├── Blocked                 refused for safety or policy: final, with the provider's reason
│   │   ├── PromptBlocked       promptFeedback.blockReason
│   │   ├── ImageBlocked        a finishReason such as IMAGE_SAFETY
│   │   └── VideoFiltered       Veo's RAI filter, or words by Omni; no video is charged
│   ├── NothingMade             answered, charged or not, but without an asset
│   │   ├── NoAnswer            asked to look, answered without text
│   │   ├── NoImage             text only, or no image part
│   │   │   └── BadImage        part of a picture came, or only its address: kept, never asked for again unasked
│   │   └── NoVideo             done without a video and without a reason
│   ├── OperationFailed         a long-running operation ended with an error, or (OperationCancelled) was cancelled
│   ├── OperationExpired        the operation or its file is gone: final once the retention is over
│   ├── OperationWithheld       said to be gone, or not for this key, before the retention is over: still submitted
│   ├── OperationOverdue        not done within the deadline: still running as far as we know
│   ├── DownloadFailed          the asset exists there but could not be fetched whole
│   │   └── DownloadStalled     its bytes came too slowly, turn after turn: left to the next run
│   └── Unknown                 the request may or may not have been accepted: never sent again unasked
├── Parked                      quota, budget or disk: goes on later (exit code 4)
│   ├── QuotaParked             today's requests are used up, or the provider asked for a long wait
│   ├── RouteParked             the provider takes no requests until a person has mended the account
│   ├── RouteMissing            no credentials lead to a model: its shots are parked (also a SettingsError)
│   ├── BudgetParked            the next submission could exceed the budget
│   └── NoRoom                  the disk is nearly full: what is paid for next could not be kept
├── Stopped                     a person stopped the run; nothing new is sent
│   └── NotRehearsal            a rehearsal met another server than its service, which gets nothing more
├── NotApproved                 the approval of a take was taken back before its clip was sent (exit code 5)
├── ParentAwaited               the take of another shot that this one is made of is still to come (exit code 4)
│   └── ParentStuck             it comes only when a person decides, or changes that shot (exit code 5)
├── LedgerError                 the ledger cannot be opened or contradicts itself
├── ArchiveError                the archive refused, or a file there is not what was written
│   ├── ArchiveLost             a file that was stored is not there any more
│   ├── ArchiveConflict         the name exists with other bytes
│   └── ArchiveDenied           no permission or no such bucket: final
│       └── ArchiveKept         a retention policy or a hold keeps what is stored as it is
├── MediaError                  a picture or video is damaged, unsupported or not as declared
└── ServiceError                a helper process (rehearsal service, Prefect server) did not start
"""

from __future__ import annotations

from callsheet.error_base import BegunElsewhere as BegunElsewhere
from callsheet.error_base import CallsheetError as CallsheetError
from callsheet.error_base import CannotContinue as CannotContinue
from callsheet.error_base import CatalogueError as CatalogueError
from callsheet.error_base import DecisionError as DecisionError
from callsheet.error_base import ManifestError as ManifestError
from callsheet.error_base import NotAccepted as NotAccepted
from callsheet.error_base import ParentAwaited as ParentAwaited
from callsheet.error_base import ParentStuck as ParentStuck
from callsheet.error_base import Parked as Parked
from callsheet.error_base import Problem as Problem
from callsheet.error_base import ProviderError as ProviderError
from callsheet.error_base import RouteMissing as RouteMissing
from callsheet.error_base import SettingsError as SettingsError
from callsheet.error_base import UsageError as UsageError


class Unreachable(NotAccepted):
    """No connection could be made, so nothing was sent."""


class Overloaded(NotAccepted):
    """503 UNAVAILABLE: the model is overloaded."""


# The window of a 429 that counts money, of all models together: ten minutes (callsheet/ledger/spend_window.py).
SPEND = "spend"


class RateLimited(NotAccepted):
    """429: too many requests for now."""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        status: int | None = 429,
        retry_after_s: float | None = None,
        per: str = "",
        limit: int | None = None,
    ) -> None:
        super().__init__(message, reason=reason, status=status, retry_after_s=retry_after_s)
        # "minute", "day", SPEND or "" (the reply does not say); `limit` is what the body states (SPEND: US cents).
        self.per = per
        self.limit = limit


class RouteClosed(NotAccepted):
    """Credits used up, a spending cap reached, billing off, or a limit of 0.

    `model_only`: a limit of 0 is that of a model, everything else of the whole account; `link`: where to correct it.
    """

    model_only: bool = False
    link: str = ""


class Rejected(ProviderError):
    """A definitive 4xx: the same request will fail again."""


class Unauthorised(Rejected):
    """A bad key, a missing permission or billing: further requests would fail too."""


class WebPage(Unauthorised):
    """A web page in place of JSON: of a proxy, a sign-in, or a wrong base URL."""


class ModelNotFound(Rejected):
    """404: the model does not exist there, or the project has no access to it."""


class RequestTooLarge(Rejected):
    """The request is larger than the provider takes."""


class Blocked(ProviderError):
    """Refused for safety or policy; final for this prompt, with the provider's reason."""


class PromptBlocked(Blocked):
    """The prompt was refused before generation (promptFeedback.blockReason)."""


class ImageBlocked(Blocked):
    """The picture was refused after generation (a finishReason such as IMAGE_SAFETY)."""


class VideoFiltered(Blocked):
    """Veo's filter removed the video, or Omni refused it: no video is charged.

    Hits of `audio` may be false.
    """

    def __init__(self, message: str, *, reason: str = "", status: int | None = None, audio: bool = False) -> None:
        super().__init__(message, reason=reason, status=status)
        self.audio = audio


class NothingMade(ProviderError):
    """The provider answered without an asset."""


class NoAnswer(NothingMade):
    """A reply without text to a request to look at something; the input is billed."""

    charged: bool | None = True


class NoImage(NothingMade):
    """A reply without a picture (text only, say); billed for its text."""

    charged: bool | None = None


class BadImage(NoImage):
    """Part of a picture came, or its address: billed; the reply is kept as evidence."""

    charged = True


class NoVideo(NothingMade):
    """Done, without a video and without a reason."""


class OperationFailed(ProviderError):
    """An operation ended with an error: charged only where its usage bills a video."""


class OperationCancelled(OperationFailed):
    """An operation was cancelled: what it cost is known where its usage tells."""

    charged: bool | None = None


class OperationExpired(ProviderError):
    """The operation or its file is gone, after its retention (two days for Veo).

    A 403 or 404 may also come from another key, a replica or a gateway: until then it is `OperationWithheld`.
    """

    charged = True


class OperationWithheld(ProviderError):
    """Paid for and within its retention, but withheld from this key: stays submitted."""

    charged = True


class OperationOverdue(ProviderError):
    """Not done within the deadline; it may still finish, so the job stays submitted."""

    charged = None


class DownloadFailed(ProviderError):
    """The asset is at the provider but was not fetched whole; a new try is free."""

    charged = True


class DownloadRefused(DownloadFailed):
    """The address is at a place that is not followed, so nothing was fetched."""


class DownloadStalled(DownloadFailed):
    """Bytes came too slowly or not at all; the job stays submitted for the next run."""


class Unknown(ProviderError):
    """The request may or may not have been accepted; sending it again may pay twice."""

    charged = None


class PictureElsewhere(Unknown):
    """The reply names its picture by an address: the next run fetches it."""


class QuotaParked(Parked):
    """Today's requests are used up, or the provider asked for a wait of some minutes."""


class RouteParked(Parked):
    """The route takes no requests until a person corrects the account: RouteClosed."""


class BudgetParked(Parked):
    """The next submission could exceed the budget."""


class NoRoom(Parked):
    """The disk is nearly full, so nothing is sent whose result could not be kept."""


class Stopped(CallsheetError):
    """A person stopped the run: nothing new is sent, what was sent goes on next time."""


class NotRehearsal(Stopped):
    """Another server than the rehearsal service answered, and is sent nothing more."""


class NotApproved(CallsheetError):
    """The approval of a take was taken back before its clip was sent."""


class LedgerError(CallsheetError):
    """The ledger cannot be opened, or contradicts itself."""


class ArchiveError(CallsheetError):
    """The archive refused, or a file there is not what was written."""


class ArchiveLost(ArchiveError):
    """A file that was made and stored is nowhere any more."""


class ArchiveConflict(ArchiveError):
    """The name exists in the archive with other bytes."""


class ArchiveDenied(ArchiveError):
    """No permission (the message names it), or no such bucket or folder: final."""


class ArchiveKept(ArchiveDenied):
    """A retention policy or a hold forbids to replace or remove an object for now."""


class MediaError(CallsheetError):
    """A picture or video is damaged, unsupported, or not what was declared."""


class ServiceError(CallsheetError):
    """A service that callsheet starts (rehearsal, Prefect server) did not come up."""
