# SPDX-License-Identifier: MIT
"""`askrctl check app`: is an application fit for worker mode, where processes live on?

Two users take turns on a real server with one worker and one process; after each request PHP
reports what lasts in the process (engine/php/inspect.h). What depends on who was served last, or
has something of a user in it, would reach somebody else some day.

    routes → visit (two users) and evidence (PHP's report) → verdict
"""
