"""The page in a browser: Chromium by Playwright, against a server of the test's own. Run by ``make e2e``."""
