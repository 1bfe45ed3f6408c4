package main

import (
	"context"
	"fmt"

	"github.com/compose-spec/compose-go/v2/cli"
)

// checkCompose loads the file as Docker Compose does, with every profile: schema, variables, anchors, and what services refer to.
func checkCompose(path string) error {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithProfiles([]string{"*"}), cli.WithInterpolation(true))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	for name, service := range project.Services {
		if service.Image == "" {
			return fmt.Errorf("%s: service %s has no image", path, name)
		}
		if err := pinned(service.Image); err != nil {
			return fmt.Errorf("%s: service %s: %w", path, name, err)
		}
	}
	fmt.Printf("%d services\n", len(project.Services))
	return nil
}
