"""Files of threads: what users gave and what runs made, kept with limits, gone with the thread."""
