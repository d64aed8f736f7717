"""How a clip becomes a cut: what it is and where it goes -> plan -> ffmpeg arguments -> a file that was looked at."""
