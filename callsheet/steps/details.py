"""The names in the details of a picture's job: what came with the picture in the same reply."""

OTHERS, TEXT = "others", "text"
