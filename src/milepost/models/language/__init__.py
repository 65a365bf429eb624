"""Language models behind upstreams: wire formats, resilience, metering, caching."""
