"""What is served over HTTP, one noun a file; `server.app` puts them together."""
