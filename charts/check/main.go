// Command check holds charts/, config/ and their documentation against the schemas of what reads them, and against each other. check.sh runs it.
// It asks no cluster and writes nothing but the files that it is told to.
package main

import (
	"fmt"
	"os"
)

const usage = `check schemas SWAGGER CRD FOLDER    writes JSON schemas of Kubernetes' kinds and of the CRD's for kubeconform
check kustomize FOLDER              prints what kubectl kustomize prints
check monitors FILE...              Prometheus' operator takes the monitors and rules in these manifests
check compose FILE                  Docker Compose takes the file
check repository ROOT FOLDER        copies are equal, metrics and runbooks exist; writes the dashboard's expressions as rules for promtool
check package ROOT RENDERED FOLDER  writes the chart's README and the bundle for Operator Lifecycle Manager
check same KUSTOMIZED RENDERED       both have the same objects
check definition RENDERED CRD       the rendered chart brings that CRD, changed in its metadata only`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	command, rest := "", []string(nil)
	if len(arguments) > 0 {
		command, rest = arguments[0], arguments[1:]
	}
	switch {
	case command == "schemas" && len(rest) == 3:
		return writeSchemas(rest[0], rest[1], rest[2])
	case command == "kustomize" && len(rest) == 1:
		return buildKustomization(rest[0])
	case command == "monitors" && len(rest) > 0:
		return checkMonitors(rest)
	case command == "compose" && len(rest) == 1:
		return checkCompose(rest[0])
	case command == "repository" && len(rest) == 2:
		return checkRepository(rest[0], rest[1])
	case command == "package" && len(rest) == 3:
		return writePackage(rest[0], rest[1], rest[2])
	case command == "same" && len(rest) == 2:
		return checkSame(rest[0], rest[1])
	case command == "definition" && len(rest) == 2:
		return checkDefinition(rest[0], rest[1])
	}
	return fmt.Errorf("expected one of\n%s", usage)
}
