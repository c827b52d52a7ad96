"""The protocol as data: its declarations as JSON Schema, AsyncAPI, OpenAPI and TypeScript.

A server imports it when such a document is requested.
"""
