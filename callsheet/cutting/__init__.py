"""How a clip becomes a cut: subject, framing, words, brand and sound -> plan -> ffmpeg arguments -> checked file."""
