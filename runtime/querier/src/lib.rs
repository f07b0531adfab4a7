//! Tempo's query API over ingesters and retrievers; query-frontend.
