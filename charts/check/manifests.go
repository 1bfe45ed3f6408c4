package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

type object = map[string]any

// manifests reads the documents of a YAML file, each as it stands and as JSON types.
func manifests(path string) ([][]byte, []object, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	reader := kyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	var texts [][]byte
	var objects []object
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return texts, objects, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		var parsed object
		if err := yaml.UnmarshalStrict(text, &parsed); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(parsed) == 0 {
			continue
		}
		texts = append(texts, bytes.Clone(text))
		objects = append(objects, parsed)
	}
}

// field walks down maps by their keys; nil when there is none.
func field(value any, keys ...string) any {
	for _, key := range keys {
		fields, ok := value.(object)
		if !ok {
			return nil
		}
		value = fields[key]
	}
	return value
}

func text(value any) string {
	word, _ := value.(string)
	return word
}
