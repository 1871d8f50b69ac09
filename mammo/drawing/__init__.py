"""The drawing of the phantom: anatomy, texture, lesions and artefacts."""
