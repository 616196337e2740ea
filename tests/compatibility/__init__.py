"""What unmodified clients may rely on: noted while the tests run, told in docs/compatibility.md."""
