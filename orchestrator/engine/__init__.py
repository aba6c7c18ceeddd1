"""One locked-down container per execution on a Docker Engine; knows no queue, no row and no stored file."""
