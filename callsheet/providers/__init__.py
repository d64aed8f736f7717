"""The models behind one small protocol per modality: google-genai for pictures, both Veo routes for video."""
