"""The rehearsal service: Google's wire protocol on loopback, for $0.

It answers the routes that google-genai and plain HTTPS use for pictures and videos, returns real PNG, JPEG and MP4
files, keeps quotas, latency and retention on a faster clock, plays failure scripts, and counts what it accepted. Its
state is on disk, so a killed service goes on where it stopped.
"""
