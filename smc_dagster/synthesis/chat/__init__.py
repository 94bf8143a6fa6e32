"""Talking to a chat endpoint: prompts, answers, requests that may fail, and the cache."""
