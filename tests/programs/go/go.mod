module httpleak.example/programs

go 1.19
