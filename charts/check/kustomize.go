package main

import (
	"fmt"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// buildKustomization prints what `kubectl kustomize FOLDER` prints: it is the same library.
func buildKustomization(folder string) error {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return fmt.Errorf("%s: %w", folder, err)
	}
	content, err := resources.AsYaml()
	if err != nil {
		return err
	}
	_, err = fmt.Print(string(content))
	return err
}
