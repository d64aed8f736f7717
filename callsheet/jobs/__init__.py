"""The life of a paid job: submitted, kept, fetched, stored, or unknown."""
