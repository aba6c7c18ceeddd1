# The sandbox image. build.py compares a digest of the inputs with the label of the image that the engine has:
# a second call does nothing, a changed input or a lost image is built, and no stamp can be out of step with either.

IMAGE_PYTHON := .venv/bin/python

##@ The sandbox image

.PHONY: image
image: engine ## Build the scientific image, when its inputs changed or the engine has none
	@$(IMAGE_PYTHON) sandbox-image/build.py

.PHONY: image-core
image-core: engine ## Build only the small image without packages
	@$(IMAGE_PYTHON) sandbox-image/build.py core

.PHONY: image-rebuild
image-rebuild: engine ## Build both images from nothing, without any cache
	@$(IMAGE_PYTHON) sandbox-image/build.py --rebuild

.PHONY: image-verify
image-verify: image ## Import every package and draw a plot under the full lockdown
	@$(IMAGE_PYTHON) sandbox-image/image_verify.py

.PHONY: image-lock
image-lock: engine ## Choose the newest packages again, build, and write down what is in the image
	@PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$$PATH" sandbox-image/lock.sh --upgrade
	@$(IMAGE_PYTHON) sandbox-image/build.py full
	@$(IMAGE_PYTHON) sandbox-image/image_verify.py --write-packages
	@$(IMAGE_PYTHON) sandbox-image/build.py full
