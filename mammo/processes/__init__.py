"""Devices, the processes of a job, and how a job that was cut goes on."""
