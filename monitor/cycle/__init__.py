"""One tick of the sidecar, job by job: pending samples -> features -> verdict -> one transaction.

A window moves ``closed -> profiled -> judged``; each arrow is one commit of the state file, and
everything before the commit can be repeated, so a crash at any point loses and doubles nothing.
Features remember the weights and the baseline that they were taken under, and are never judged
under others. All jobs that touch the model run on one thread, one after another.
"""
