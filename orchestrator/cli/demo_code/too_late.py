load_file("FILE_ID")
