"""Failure scripts: rules that make chosen requests go wrong in a chosen way."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import SchemaError, SchemaValidator, core_schema
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from callsheet.errors import SettingsError

Kind = Literal["image", "video", "look", "poll", "download"]
FaultName = Literal[
    "429-minute",
    "429-day",
    "429-bare",
    "429-credits",
    "429-cap",
    "402",
    "billing-off",
    "404",
    "500",
    "502",
    "503",
    "504",
    "html-503",
    "array-503",
    "drop-before",
    "drop-after",
    "stall",
    "stall-before",
    "truncate",
    "short",
    "flip",
    "block",
    "finish",
    "text-only",
    "no-image",
    "empty",
    "rai",
    "rai-audio",
    "op-error",
    "expired",
]
# What happens instead of acceptance, unless the rule says `accepted: true`.
REFUSALS = frozenset(
    {
        "429-minute", "429-day", "429-bare", "429-credits", "429-cap", "402", "billing-off", "404",
        "500", "502", "503", "504", "html-503", "array-503",
    }
)  # fmt: skip
MAX_SCRIPT_BYTES = 256 * 1024
# What may also be said of work that was accepted: errors that leave it open. An overloaded model or a full quota has
# not accepted anything.
OPEN_ERRORS = frozenset(("500", "502", "503", "504"))
# The pattern is matched against this much of a prompt.
MATCHED_CHARACTERS = 4000


class Match(BaseModel):
    """Which requests a rule is about; conditions not given hold for all.

    `prompt` is a regular expression without look-around or back-references, matched in linear time. Of the requests
    that match, counted from 1 over all or `per` prompt, the rule takes those in `nth`, every `every`-th, the `first`
    ones, or each with `probability` (decided by `seed` and the count, so a replay is the same).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind | None = None
    model: str | None = None
    prompt: Annotated[str | None, Field(max_length=500)] = None
    nth: tuple[int, ...] | None = None
    every: Annotated[int | None, Field(ge=1)] = None
    first: Annotated[int | None, Field(ge=1)] = None
    probability: Annotated[float | None, Field(ge=0, le=1)] = None
    seed: int = 0
    per: Literal["all", "prompt"] = "all"
    _pattern: SchemaValidator | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _compile(self) -> Match:
        if self.prompt is not None:
            try:
                # pydantic's own engine (Rust's regex) is linear in the text, which Python's `re` is not.
                self._pattern = SchemaValidator(core_schema.str_schema(pattern=self.prompt))
            except SchemaError as error:
                raise ValueError(f"not a usable regular expression: {self.prompt!r}") from error
        return self

    def concerns(self, kind: Kind, model: str, prompt: str) -> bool:
        """Return whether the request is one that the rule counts."""
        if self.kind not in (None, kind) or self.model not in (None, model):
            return False
        return self._pattern is None or self._pattern.isinstance_python(prompt[:MATCHED_CHARACTERS])

    def takes(self, count: int) -> bool:
        """Return whether the `count`-th request that the rule counts goes wrong.

        Counted from 1.
        """
        if self.nth is not None and count not in self.nth:
            return False
        if self.every is not None and count % self.every:
            return False
        if self.first is not None and count > self.first:
            return False
        if self.probability is not None:
            drawn = hashlib.sha256(f"{self.seed} {count}".encode()).digest()[:8]
            return int.from_bytes(drawn, "big") < self.probability * 2**64
        return True


class FaultRule(BaseModel):
    """One rule: which requests go wrong, how, for how long, how often at most.

    `seconds` are of the service's clock. `accepted` makes a 500, 502, 503 or 504 follow acceptance: the work is done
    and charged, but the caller gets 5xx (503 then says that the connection to the backend was lost, not that the model
    is overloaded). `reason` is the blockReason, finishReason or support code to give; `limit` the quota a 429 states.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: Match = Match()
    fault: FaultName
    times: Annotated[int | None, Field(ge=1)] = None
    seconds: Annotated[float, Field(ge=0, le=1_000_000)] = 60.0
    accepted: bool = False
    reason: Annotated[str | None, Field(max_length=100)] = None
    limit: Annotated[int, Field(ge=0)] = 10

    @model_validator(mode="after")
    def _check(self) -> FaultRule:
        if self.accepted and self.fault not in OPEN_ERRORS:
            raise ValueError(f"`accepted` is for the faults {', '.join(sorted(OPEN_ERRORS))}, not {self.fault}")
        return self


class Script(BaseModel):
    """A failure script: its rules in order.

    Of those that take a request the first is played.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: Annotated[tuple[FaultRule, ...], Field(max_length=200)] = ()


class Counter(Protocol):
    """Keeps counts by name, beyond the process."""

    def increment(self, name: str) -> int:
        """Add one to the count and return it, durable."""
        ...


def load_script(path: Path) -> Script:
    """Load the script of a YAML file; SettingsError says what is wrong with it."""
    try:
        if path.stat().st_size > MAX_SCRIPT_BYTES:
            raise SettingsError(f"The failure script {path} is larger than {MAX_SCRIPT_BYTES} bytes.")
        return parse_script(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")), str(path))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise SettingsError(f"Cannot read the failure script {path}: {error}") from error


def parse_script(loaded: object, origin: str) -> Script:
    """Return the script of parsed YAML or JSON.

    A mapping with `rules`, or the list of rules itself.
    """
    try:
        return Script.model_validate({"rules": loaded} if isinstance(loaded, list) else loaded or {})
    except ValidationError as error:
        lines = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors(include_input=False)]
        raise SettingsError(f"The failure script {origin} is not valid:\n  " + "\n  ".join(lines)) from None


def choose(script: Script, counter: Counter, kind: Kind, model: str, prompt: str) -> FaultRule | None:
    """Return the rule that this request plays, None for most.

    Every rule that concerns it counts it.
    """
    played: FaultRule | None = None
    for number, rule in enumerate(script.rules):
        if not rule.match.concerns(kind, model, prompt):
            continue
        scope = hashlib.sha256(prompt.encode()).hexdigest()[:16] if rule.match.per == "prompt" else "all"
        count = counter.increment(f"{number}/{scope}/seen")
        if played is not None or not rule.match.takes(count):
            continue
        if rule.times is not None and counter.increment(f"{number}/fired") > rule.times:
            continue
        played = rule
    return played


# `[[block:SAFETY]]` and the like, anywhere in a prompt.
_MARKER = re.compile(r"\[\[([a-z-]{1,20})(?::([A-Za-z0-9_]{1,40}))?\]\]")
_IMAGE = frozenset(("block", "finish", "text-only", "no-image", "empty"))
_VIDEO = frozenset(("rai", "rai-audio", "empty", "op-error"))
_DEFAULT_REASON = {"block": "SAFETY", "finish": "IMAGE_SAFETY", "no-image": "NO_IMAGE", "rai": "17301594"}
RAI_AUDIO = (
    "Veo could not generate a video because of an issue with the audio it would have. You have not been charged for "
    "this attempt. Try a different prompt."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an accepted request gives.

    `made` is the asset itself; the others are named as in failure scripts. `reason` is the provider's code.
    """

    name: str = "made"
    reason: str = ""

    @property
    def charged(self) -> bool:
        """Return whether the provider bills the price of the asset.

        Of a text-only reply it bills the words.
        """
        return self.name == "made"


def image_outcome(prompt: str, rule: FaultRule | None) -> Outcome:
    """Return what an accepted request for a picture gives."""
    return _build_outcome(prompt, rule, _IMAGE)


def video_outcome(prompt: str, rule: FaultRule | None) -> Outcome:
    """Return what an accepted request for a video gives in the end."""
    return _build_outcome(prompt, rule, _VIDEO)


def rai_message(reason: str) -> str:
    """Return the text of Veo's filter with a support code."""
    return (
        "We encountered an issue with the prompt you provided: it could not be used to generate a video because it "
        "may violate the usage guidelines. If you think this was an error, send feedback. "
        f"Support codes: {reason}"
    )


def _build_outcome(prompt: str, rule: FaultRule | None, known: frozenset[str]) -> Outcome:
    if rule is not None and rule.fault in known:
        return Outcome(rule.fault, rule.reason or _DEFAULT_REASON.get(rule.fault, ""))
    for name, reason in _MARKER.findall(prompt):
        if name in known:
            return Outcome(name, reason or _DEFAULT_REASON.get(name, ""))
    return Outcome()
