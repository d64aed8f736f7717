"""The sound of cuts: measured, brought to the platform's loudness, with a music bed under it where one is asked for."""
