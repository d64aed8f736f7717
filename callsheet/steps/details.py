"""The names in the details of a paid job: what came with its picture or video in the same answer."""

OTHERS, TEXT = "others", "text"
# What the provider said of a video's operation in the end, as JSON without bytes.
RECORD = "operation_reply"
