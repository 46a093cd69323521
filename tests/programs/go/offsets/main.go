// Offsets: where a binary's DWARF says that fields of structs are.
//
// Usage: offsets BINARY, with lines "TYPE FIELD" on standard input (TYPE with its package's path: net/http.persistConn).
// Prints "TYPE FIELD OFFSET", -1 for a field that is not there, absent for one of a type that is not.
package main

import (
	"bufio"
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"os"
	"strings"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func main() {
	file, err := elf.Open(os.Args[1])
	must(err)
	data, err := file.DWARF()
	must(err)
	wanted := map[string]bool{}
	var lines []string
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		lines = append(lines, in.Text())
		wanted[strings.Fields(in.Text())[0]] = true
	}
	offsets, present := map[string]int64{}, map[string]bool{}
	for reader := data.Reader(); ; {
		entry, err := reader.Next()
		must(err)
		if entry == nil {
			break
		}
		name, _ := entry.Val(dwarf.AttrName).(string)
		if entry.Tag != dwarf.TagStructType || !wanted[name] {
			continue
		}
		kind, err := data.Type(entry.Offset)
		must(err)
		present[name] = true
		for _, field := range kind.(*dwarf.StructType).Field {
			offsets[name+" "+field.Name] = field.ByteOffset
		}
	}
	for _, line := range lines {
		offset, found := offsets[line]
		switch {
		case found:
			fmt.Println(line, offset)
		case present[strings.Fields(line)[0]]:
			fmt.Println(line, -1)
		default:
			fmt.Println(line, "absent")
		}
	}
}
