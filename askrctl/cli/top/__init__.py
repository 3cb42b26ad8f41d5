# SPDX-License-Identifier: MIT
"""`askrctl top`: a live view of a running server.

sample   what there is to see, read from the server's memory and /proc
board    from samples to rates, quantiles and rows; pure
draw     from a board to lines of a screen of any size; pure
keys     what a key does to what is shown; pure
asker    talks to the supervisor beside the screen, so that keys never wait
terminal takes the screen, and gives it back whatever happens
command  the command, and the loop that joins them
"""
