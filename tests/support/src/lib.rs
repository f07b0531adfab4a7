//! Real parts for tests: built tools, running servers, generated spans.
