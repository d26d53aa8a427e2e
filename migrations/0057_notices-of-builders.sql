CREATE TABLE "builder_notices" (
	"repository_id" text NOT NULL,
	"owner" text NOT NULL,
	"name" text NOT NULL,
	"notices" jsonb NOT NULL,
	"told_at" bigint NOT NULL,
	CONSTRAINT "builder_notices_repository_id_owner_pk" PRIMARY KEY("repository_id","owner")
);
--> statement-breakpoint
ALTER TABLE "builder_notices" ADD CONSTRAINT "builder_notices_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE cascade ON UPDATE no action;