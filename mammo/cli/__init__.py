"""The command line: one file per family of verbs."""

import sys

if sys.platform != "linux":
    sys.exit(
        f"error: mammo runs on Linux, found {sys.platform}; on Windows use WSL, https://learn.microsoft.com/windows/wsl"
    )
