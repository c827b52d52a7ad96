"""The field: other WebSocket servers, each a program that does the least that the load needs.

They all behave alike. The one argument names a file with the answer that every text message gets. Once a server
accepts connections on a free port of 127.0.0.1 it prints ``ready PORT``. Each line on standard input goes to every
open connection as one text frame, and the end of standard input ends the program. Compression and keep-alive pings
are off, and each library is used in the way it documents as the fastest.
"""
