"""Looking at, choosing, cutting and marking pictures and videos.

PyAV and Pillow look; ffmpeg encodes.
"""
