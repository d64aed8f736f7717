"""The names in the details of a paid job: what came with its picture or video in the same answer."""

OTHERS, TEXT = "others", "text"
# For a support case: the provider's id of the exchange, and how it rated what was asked and made.
REQUEST_ID, RATINGS = "request_id", "safety_ratings"
# What the provider said of a video's operation in the end, as JSON without bytes.
RECORD = "operation_reply"
