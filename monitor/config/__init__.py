"""One YAML file and the environment become one frozen, typed, validated Config."""
