"""Users: registration with an authenticator, sign-in, recovery, and the authentication of requests.

::

    methods      the API: the table of `user.*` methods, and each of them
    sessions     a handshake's cookies and headers → `Client`
    feed         notifications of logins and revoked sessions
    accounts     administration from the command line
    messages     requests, and the login state
    store        the queries
    tokens, totp, phrases    session tokens, codes, recovery phrases

Usernames keep their case and are compared without it: two names never differ in case alone, and any spelling signs in.
"""
