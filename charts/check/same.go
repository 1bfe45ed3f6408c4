package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// What helm says of itself on each object.
var helmsOwn = []string{"helm.sh/chart", "app.kubernetes.io/managed-by"}

// checkSame: who installs with kustomize gets what helm makes of the chart, but for the namespace, which helm is told, and the definition's metadata.
func checkSame(kustomized, rendered string) error {
	first, err := byName(kustomized)
	if err != nil {
		return err
	}
	second, err := byName(rendered)
	if err != nil {
		return err
	}
	var problems []error
	for name, manifest := range second {
		other, there := first[name]
		if !there {
			problems = append(problems, fmt.Errorf("config has no %s, which the chart makes", name))
		} else if !reflect.DeepEqual(manifest, other) {
			left, _ := yaml.Marshal(other)
			right, _ := yaml.Marshal(manifest)
			problems = append(problems, fmt.Errorf("%s differs: run config/render.sh, or mend the patches\n--- config\n%s--- chart\n%s", name, left, right))
		}
		delete(first, name)
	}
	for name := range first {
		problems = append(problems, fmt.Errorf("config has %s, which the chart does not make", name))
	}
	if len(second) < 10 {
		problems = append(problems, fmt.Errorf("%s has %d objects only", rendered, len(second)))
	}
	return errors.Join(problems...)
}

func byName(path string) (map[string]object, error) {
	_, objects, err := manifests(path)
	if err != nil {
		return nil, err
	}
	named := map[string]object{}
	for _, manifest := range objects {
		kind, metadata := text(manifest["kind"]), manifest["metadata"].(object)
		if kind == "Namespace" {
			continue
		}
		if kind == "CustomResourceDefinition" {
			manifest["metadata"] = object{"name": metadata["name"]}
		}
		withoutHelmsOwn(manifest)
		named[fmt.Sprintf("%s %s/%s", kind, text(metadata["namespace"]), text(metadata["name"]))] = manifest
	}
	return named, nil
}

// withoutHelmsOwn leaves out what differs and does nothing.
func withoutHelmsOwn(value any) {
	switch value := value.(type) {
	case object:
		for _, key := range helmsOwn {
			delete(value, key)
		}
		for _, inner := range value {
			withoutHelmsOwn(inner)
		}
	case []any:
		for _, inner := range value {
			withoutHelmsOwn(inner)
		}
		// A patch adds to variables and ports in an order of its own.
		slices.SortStableFunc(value, func(one, other any) int {
			return strings.Compare(text(field(one, "name")), text(field(other, "name")))
		})
	}
}
