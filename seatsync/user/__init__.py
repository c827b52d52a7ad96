"""Users: registering with an authenticator, signing in, recovering, and who a request comes from.

::

    methods        the API: the table of `user.*` methods
    ├── registration   auth_start, auth_reset, register
    ├── sign_in        login, logout; opens the session for the other two
    └── recovery       recovery_phrase, save_recovery_phrase, recover
    sessions       a handshake's cookies and headers → `Client`
    accounts       what the command line does to users
    store          every query, and the rows they give
    messages       requests and answers
    totp, phrases, throttle    codes, recovery phrases, "not so fast"

Usernames keep the case they were registered in and are compared without it: nobody can take a name that differs from
another's in case alone, and one signs in with any spelling.
"""
