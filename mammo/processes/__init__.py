"""Devices, the processes of a job, and the resuming of an interrupted job."""
