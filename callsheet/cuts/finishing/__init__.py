"""What is laid over a cut: captions, logo, disclosure and end card, drawn with our own fonts in the safe zone."""
