"""Google's error bodies, as the live services send them.

Shapes read 2026-11-21; see each function.
"""

from __future__ import annotations

from dataclasses import dataclass, field

JsonObject = dict[str, object]
TYPES = "type.googleapis.com/google.rpc."
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(eq=False)
class RefusedError(Exception):
    """A request that is answered with an error.

    HTTP status, message, and google.rpc details. `form` is how the body is written: "json", "array" (a front end's list
    of one) or "html".
    """

    code: int
    message: str
    status: str = ""
    details: tuple[JsonObject, ...] = field(default=())
    form: str = "json"

    def body(self) -> JsonObject | list[JsonObject]:
        """Return the JSON body."""
        error: JsonObject = {"code": self.code, "message": self.message, "status": self.status or STATUS[self.code]}
        if self.details:
            error["details"] = list(self.details)
        return [{"error": error}] if self.form == "array" else {"error": error}

    def html(self) -> str:
        """Return the page that Google's front end shows instead of JSON."""
        return (
            "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n"
            f"  <title>Error {self.code} (Server Error)!!1</title>\n"
            f"  <p><b>{self.code}.</b> <ins>That is an error.</ins>\n"
            "  <p>The server encountered a temporary error and could not complete your request."
            "<p>Please try again in 30 seconds.  <ins>That is all we know.</ins>\n"
        )


def _build_info(reason: str, **metadata: str) -> JsonObject:
    return {"@type": TYPES + "ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": metadata}


def bad_key() -> RefusedError:
    """Return the refusal of a wrong API key, which is 400, not 401."""
    info = _build_info("API_KEY_INVALID", service="generativelanguage.googleapis.com")
    return RefusedError(400, "API key not valid. Please pass a valid API key.", details=(info,))


def no_key() -> RefusedError:
    """Return the refusal of a Gemini API route without an API key."""
    message = (
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
        "other form of API consumer identity to call this API."
    )
    return RefusedError(403, message)


def no_token() -> RefusedError:
    """Return the refusal of an Agent Platform route without a bearer token."""
    message = (
        "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
    )
    return RefusedError(
        401, message, details=(_build_info("CREDENTIALS_MISSING", service="aiplatform.googleapis.com"),)
    )


def bad_token() -> RefusedError:
    """Return the refusal of a bearer token that is not valid."""
    message = (
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
    )
    return RefusedError(401, message, details=(_build_info("ACCESS_TOKEN_TYPE_UNSUPPORTED"),))


def invalid(message: str = "Request contains an invalid argument.") -> RefusedError:
    """Return 400 INVALID_ARGUMENT; without a message the one that names no field."""
    return RefusedError(400, message)


def unknown_field(name: str, place: str) -> RefusedError:
    """Return the refusal of a field the API does not know.

    `place` is the path of the object that holds it, "" at the top.
    """
    at = f" at '{place}'" if place else ""
    message = f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
    violation = {"field": place, "description": message} if place else {"description": message}
    return RefusedError(400, message, details=({"@type": TYPES + "BadRequest", "fieldViolations": [violation]},))


def too_large(limit: int) -> RefusedError:
    """Return the refusal of a request over the payload limit, in bytes."""
    return invalid(f"Request payload size exceeds the limit: {limit} bytes.")


def not_found() -> RefusedError:
    """Return the refusal of an operation, file or other entity that does not exist.

    Or does no longer.
    """
    return RefusedError(404, "Requested entity was not found.")


def no_interaction() -> RefusedError:
    """Return the refusal of an unknown interaction, which is 400, not 404."""
    return invalid("Invalid interaction name.")


def not_active(file_id: str) -> RefusedError:
    """Return the refusal of the bytes of a file that is still processed."""
    message = f"The File files/{file_id} is not in an ACTIVE state and usage is not allowed."
    return RefusedError(400, message, status="FAILED_PRECONDITION")


def no_model(model: str, version: str, method: str) -> RefusedError:
    """Return the refusal of a model the Gemini API does not serve."""
    return RefusedError(
        404,
        f"models/{model} is not found for API version {version}, or is not supported for {method}. Call ListModels to "
        "see the list of available models and their supported methods.",
    )


def refuse_retired() -> RefusedError:
    """Return the refusal of a model that is shut down, whatever its name."""
    return RefusedError(404, "This model is no longer available. Please update your code to use a newer model.")


def no_publisher_model(resource: str) -> RefusedError:
    """Return the refusal of a model the Agent Platform does not serve this project."""
    message = (
        f"Publisher model `{resource}` was not found or your project does not have access to it. Please ensure you are "
        "using a valid model version."
    )
    return RefusedError(404, message)


def internal() -> RefusedError:
    """Return 500."""
    message = "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting"
    return RefusedError(500, message)


def overloaded(form: str = "json") -> RefusedError:
    """Return 503, as JSON, as a front end's array, or as its HTML page."""
    return RefusedError(503, "The model is overloaded. Please try again later.", form=form)


def bad_gateway() -> RefusedError:
    """Return 502, which only the front end sends, as HTML."""
    return RefusedError(502, "Bad Gateway", form="html")


def deadline() -> RefusedError:
    """Return 504."""
    return RefusedError(504, "Deadline expired before operation could complete.")


def disconnected() -> RefusedError:
    """Return 503 of a proxy that had passed the request on and lost its backend."""
    reset = "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
    return RefusedError(503, reset)


def cancelled() -> RefusedError:
    """Return 499: the request is not accepted any more.

    The caller was told that it had not been accepted.
    """
    return RefusedError(499, "The operation was cancelled.")


def exhausted_bare() -> RefusedError:
    """Return 429 without any details."""
    return RefusedError(429, "Resource has been exhausted (e.g. check quota).")


def credits_depleted() -> RefusedError:
    """Return 429 of an account that pays in advance and has nothing left.

    Text as reported by users until 2026-11.
    """
    return RefusedError(
        429,
        "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your "
        "project and billing.",
    )


def over_the_cap() -> RefusedError:
    """Return 429 of a project that has reached what it may spend in a month.

    Text as reported by users until 2026-11.
    """
    return RefusedError(
        429,
        "Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend to "
        "manage your project spend cap.",
    )


def payment_required() -> RefusedError:
    """Return 402 of an account without credit (troubleshooting page, 2026-11)."""
    return RefusedError(402, "Payment is required for this request.")


def billing_off() -> RefusedError:
    """Return 400 FAILED_PRECONDITION of a project whose billing is disabled."""
    message = "Billing is disabled for this project. Enable billing on your project in Google AI Studio."
    return RefusedError(400, message, status="FAILED_PRECONDITION")


def exhausted(*, model: str, kind: str, per: str, limit: int, retry_s: float) -> RefusedError:
    """Return 429 for a quota per "minute" or "day".

    The hint is only in RetryInfo, there is no Retry-After header. The daily body follows one recorded in production on
    2026-09-02; the per-minute id is its analogue.
    """
    image = kind == "image"
    metric = "generate_requests_per_model" if image else "predict_long_running_requests_per_model"
    metric = "generativelanguage.googleapis.com/" + metric + ("_per_day" if per == "day" else "")
    quota_id = f"{'Generate' if image else 'PredictLongRunning'}RequestsPer{per.title()}PerProjectPerModel"
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: "
        f"https://ai.dev/rate-limit. \n* Quota exceeded for metric: {metric}, limit: {limit}, model: {model}\n"
        f"Please retry in {_format_wait(retry_s)}."
    )
    url = "https://ai.google.dev/gemini-api/docs/rate-limits"
    violation: JsonObject = {
        "quotaMetric": metric,
        "quotaId": quota_id,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": str(limit),
    }
    details: tuple[JsonObject, ...] = (
        {"@type": TYPES + "Help", "links": [{"description": "Learn more about Gemini API quotas", "url": url}]},
        {"@type": TYPES + "QuotaFailure", "violations": [violation]},
        {"@type": TYPES + "RetryInfo", "retryDelay": f"{int(retry_s)}s"},
    )
    return RefusedError(429, message, details=details)


def _format_wait(seconds: float) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    head = f"{int(hours)}h" if hours else ""
    return head + (f"{int(minutes)}m" if hours or minutes else "") + f"{left:.9g}s"
