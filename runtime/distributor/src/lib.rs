//! Receives OTLP, regroups spans by trace id on the encoded bytes, hands them to their ingesters.
