"""What one process holds open while it works on a batch, and what the run may do. Neither ever changes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal

from callsheet.archive.spool import Spool
from callsheet.archive.store import Store
from callsheet.clock import Clock
from callsheet.concurrency import PrioritySemaphore
from callsheet.context.poller import Poller
from callsheet.ledger import Ledger
from callsheet.media.ffmpeg import EncoderSlots
from callsheet.media.signing import Signer
from callsheet.models import Catalogue, Model
from callsheet.platforms import Platforms
from callsheet.providers import Providers
from callsheet.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The open resources of one batch in one process; `open_context` opens and closes them together."""

    #: The settings of this process.
    settings: Settings
    #: The models, with the defaults that the batch was begun with.
    catalogue: Catalogue
    #: The time of the provider: that of the rehearsal service in a rehearsal.
    clock: Clock
    #: Jobs, attempts, money and quota.
    ledger: Ledger
    #: The archive.
    store: Store
    #: Bytes that were paid for and are not archived yet, on this disk.
    spool: Spool
    #: The platforms that clips are cut for.
    platforms: Platforms
    #: The clients of the models' routes.
    providers: Providers
    #: Picture requests in flight at once (CALLSHEET_IMAGE_CONCURRENCY).
    image_slots: asyncio.Semaphore
    #: Submissions that hold a frame's bytes in memory at once.
    submit_slots: asyncio.Semaphore
    #: Videos being made by the provider at once (CALLSHEET_VIDEO_CONCURRENCY).
    video_slots: asyncio.Semaphore
    #: Encoders at work at once, by their number and memory.
    encoder_slots: EncoderSlots
    #: Downloads at once; what expires first goes first.
    downloads: PrioritySemaphore
    #: Waits for the operations of submitted videos.
    poller: Poller

    def priced(self, model: str) -> Model:
        """Return the model with the prices of the clock's day.

        That on which a request is sent.
        """
        return self.catalogue.priced_at(self.clock.now()).get(model)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPolicy:
    """What a run may do, as its request and the settings say."""

    #: The shots that are worked on; all of them when there are none here.
    only: frozenset[str] = frozenset()
    #: Send nothing that costs.
    free: bool = False
    #: Sleep through a day whose quota is used up, instead of ending parked.
    wait: bool = False
    #: The campaign's budget; None for no limit.
    budget_usd: Decimal | None = None
    #: Signs the cuts; None for nobody.
    signer: Signer | None = None

    def wants(self, shot: str) -> bool:
        """Return whether this run works on the shot."""
        return not self.only or shot in self.only
