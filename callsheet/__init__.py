"""Pictures, clips and cuts from a manifest of prompts.

What is paid for is paid for once and never lost.
"""
