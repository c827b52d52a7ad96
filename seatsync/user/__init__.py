"""Users: registration with an authenticator, sign-in, recovery, and the authentication of requests.

::

    methods        the API: the table of `user.*` methods
    ├── registration   auth_start, auth_reset, register
    ├── sign_in        login, logout; opens the session for register, too
    └── recovery       recovery_phrase, save_recovery_phrase, recover
    sessions       a handshake's cookies and headers → `Client`
    feed           notifications of logins and revoked sessions
    accounts       administration from the command line
    store          every query, and its rows as objects
    messages       requests and replies
    tokens, totp, phrases    session tokens, codes, recovery phrases

Usernames keep their case and are compared without it: two names never differ in case alone, and any spelling signs in.
"""
