"""The summary of a run: the object that `callsheet run --json` prints, a public contract with a JSON schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from callsheet.shots import Mode


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShotCounts(_Part):
    """The shots of the whole batch by state. What is in none of these is pending."""

    total: int = Field(description="All shots of the manifest.")
    done: int = Field(description="Everything that was asked for is in the archive.")
    blocked: int = Field(description="Refused by the provider's filters, or rejected by a person.")
    failed: int = Field(description="Over without a result; `--remake` pays for another try.")
    parked: int = Field(description="Goes on later by itself: a quota, a budget, or a video that is still being made.")
    waiting: int = Field(description="A person has to decide.")


class WaitingFor(_Part):
    """How many shots wait for a person, by what has to be decided."""

    approval: int = Field(description="Takes to be approved: `callsheet approve`.")
    resolve: int = Field(description="Requests in doubt: `callsheet resolve`.")


class OpenCounts(_Part):
    """Requests that are not over."""

    parked: int = Field(description="Not sent yet, because a quota or a budget is used up.")
    submitted: int = Field(description="Accepted; the provider still works on them.")
    in_doubt: int = Field(description="Nobody knows whether they were accepted.")


class Counts(_Part):
    """Results of this run: made now, or there before."""

    created: int = Field(description="Made by this run.")
    reused: int = Field(description="There before; not paid for again.")


class VideoCounts(Counts):
    """Results of this run: made now, there before, or submitted before and fetched now."""

    resumed: int = Field(description="Submitted by an earlier run and fetched by this one.")


class Submissions(_Part):
    """Requests of this run that the provider accepted."""

    image: int = Field(description="Pictures.")
    video: int = Field(description="Videos.")
    look: int = Field(default=0, description="Questions where a clip's subject is; absent when there were none.")


class Usd(_Part):
    """The batch's money in USD at list price; a rehearsal charges none of it."""

    estimated: float = Field(description="What the plan expected this run to cost at most.")
    spent: float = Field(description="What the batch has cost in all its runs.")
    held: float = Field(description="Reserved for requests that are not settled.")


class RunSummary(_Part):
    """How a batch stands after a run."""

    batch: str = Field(description="The batch's name.")
    mode: Mode = Field(description="`live`, or `rehearsal`, which costs nothing.")
    exit_code: int = Field(description="The exit code of the command, for the shots that the run was asked for.")
    shots: ShotCounts
    waiting_for: WaitingFor
    open_requests: OpenCounts
    images: Counts
    videos: VideoCounts
    cuts: Counts
    looks: Counts
    submissions: Submissions
    usd: Usd
    archive: str = Field(description="The address of the batch's folder in the archive.")
    gallery: str = Field(description="The address of the gallery page.")
    elapsed_s: float = Field(description="Seconds from the start of the run to its end.")
    parked_until: str | None = Field(
        default=None, description="When parked work goes on (ISO 8601, UTC); null when no quota is in its way."
    )

    def as_json(self) -> dict[str, Any]:
        """Return the summary as `run --json` prints it."""
        told = self.model_dump(mode="json")
        if not self.submissions.look:  # requests that most batches never send are told only where there were some
            del told["submissions"]["look"]
        return told


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of what `callsheet run --json` prints."""
    schema = RunSummary.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "callsheet run --json"}
