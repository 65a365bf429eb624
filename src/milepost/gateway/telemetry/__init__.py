"""What is measured of a server and told outside: Prometheus metrics, OpenTelemetry spans.

Counting costs a microsecond; everything else happens when somebody looks.
"""

from milepost.gateway.telemetry.telemetry import Telemetry

__all__ = ["Telemetry"]
