"""callsheet: pictures, clips and cuts from a manifest of prompts, paid for once and never lost."""
