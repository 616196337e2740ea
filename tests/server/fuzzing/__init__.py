"""The whole HTTP surface under requests that a machine makes up from the OpenAPI document."""
