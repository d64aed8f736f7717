"""Encoding of cuts: clip and platform -> plan -> ffmpeg arguments -> checked file."""
